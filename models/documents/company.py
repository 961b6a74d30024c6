"""The company document: a tenant."""

from models.documents.base import Stored


class Company(Stored):
    name: str

    class Settings:
        name = "company"
