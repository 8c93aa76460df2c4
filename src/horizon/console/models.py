"""Who may use the console. The table is our own migration's (postgres/schema/0012_console.sql)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models

from horizon import clock
from horizon.console.rules import Permission, permissions_of


class People(BaseUserManager["Person"]):
    def get_by_natural_key(self, email: str | None) -> Person:
        found: Person = self.get(email=(email or "").lower())
        return found


class Person(AbstractBaseUser):
    """One of the operator's people. ``is_active`` off: every sign-in of theirs is over."""

    id = models.BigAutoField(primary_key=True, db_column="person_id")
    email = models.TextField(unique=True)
    name = models.TextField(default="", blank=True)
    password = models.TextField(default="")
    roles = ArrayField(models.TextField())
    is_active = models.BooleanField(default=True, db_column="active")
    version = models.IntegerField(default=1)
    created_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = People()
    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        managed = False
        db_table = "people"

    def __str__(self) -> str:
        return str(self.name or self.email)

    @property
    def permissions(self) -> frozenset[Permission]:
        return permissions_of(self.roles)
