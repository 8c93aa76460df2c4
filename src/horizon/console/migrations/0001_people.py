"""Tells Django's migrations that there are people, whom theirs point to; makes no table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from horizon import clock


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="Person",
            fields=[
                ("last_login", models.DateTimeField(blank=True, null=True)),
                ("id", models.BigAutoField(db_column="person_id", primary_key=True)),
                ("email", models.TextField(unique=True)),
                ("name", models.TextField(blank=True, default="")),
                ("password", models.TextField(default="")),
                ("roles", ArrayField(base_field=models.TextField(), size=None)),
                ("is_active", models.BooleanField(db_column="active", default=True)),
                ("version", models.IntegerField(default=1)),
                ("created_at", models.DateTimeField(default=clock.now)),
            ],
            options={"db_table": "people", "managed": False},
        ),
    ]  # fmt: skip
