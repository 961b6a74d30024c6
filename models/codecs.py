"""How stored BSON is decoded and extended JSON is read. Pure."""

from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import JSONOptions
from bson.raw_bson import RawBSONDocument

# Dates beyond Python's years and broken UTF-8 must not fail a whole batch.
TOLERANT: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
RAW: CodecOptions[RawBSONDocument] = TOLERANT.with_options(document_class=RawBSONDocument)
# A cursor gives every date back as the milliseconds that it was made of.
DATES_AS_MILLISECONDS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
# Some clients store dates beyond the year 9999; an import stores them unchanged.
EXTENDED_JSON = JSONOptions(tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
