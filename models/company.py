"""The company document: a tenant."""

from models.stored import Stored


class Company(Stored):
    name: str

    class Settings:
        name = "company"
