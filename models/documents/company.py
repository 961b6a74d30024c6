"""The company document: a tenant."""

from models.documents.base import StoredDocument


class Company(StoredDocument):
    name: str

    class Settings:
        name = "company"
