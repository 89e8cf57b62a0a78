"""Unique jobs, pauses, what workers say of themselves, and the queues' history."""

import json
from functools import partial

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ZERO = sa.text("0")
Big = sa.BigInteger()
must = partial(sa.Column, nullable=False)
may = sa.Column
text = sa.String


def exact(length: int) -> sa.String:
    """Make a type for text in which capital letters count."""
    return text(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def added() -> dict[str, list[sa.Column[object]]]:
    """Return the columns that tables get; new objects each time, since each belongs to one table."""
    return {
        "jobs": [
            must("exceptions", sa.SmallInteger(), server_default=ZERO),
            may("unique_key", exact(190)),
            must("unique_waiting", sa.Boolean(), server_default=sa.false()),
            must("group_key", exact(60), server_default=""),
            may("group_slot", sa.SmallInteger()),
        ],
        "failed_jobs": [
            must("kind", text(60), server_default="?"),
            must("error", text(100), server_default="?"),
            must("attempts", sa.SmallInteger(), server_default=ZERO),
            may("unique_key", exact(190)),
            must("group_key", exact(60), server_default=""),
        ],
        "workers": [
            must("is_paused", sa.Boolean(), server_default=sa.false()),
            must("wakeup", text(20), server_default="polling"),
            must("threads", sa.SmallInteger(), server_default="1"),
            must("memory_mib", sa.Integer(), server_default=ZERO),
        ],
        "controls": [
            may("until", Big),
            must("reason", text(200), server_default=""),
            must("author", text(120), server_default=""),
        ],
    }


def upgrade() -> None:
    """Add them; what has failed already learns its kind from its payload."""
    for table, columns in added().items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.add_column(column)
            if table == "jobs":
                batch.create_unique_constraint("uq_jobs_unique_key", ["unique_key"])
    index_by_group()
    failed = sa.table("failed_jobs", sa.column("id"), sa.column("kind"), sa.column("payload"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(failed.c.id, failed.c.payload)).all():
        kind = kind_in(row.payload)
        connection.execute(sa.update(failed).where(failed.c.id == row.id).values(kind=kind))
    make_job_stats()
    make_queue_depths()


def index_by_group() -> None:
    """Claims look for the next group first."""
    slot = sa.text("group_slot IS NOT NULL")
    slots = ["queue", "group_key", "group_slot"]
    op.drop_index("ix_jobs_claim", "jobs")
    make_claim_index("queue", "priority", "group_key", "available_at", "id")
    op.create_index("ix_jobs_slot", "jobs", slots, unique=True, postgresql_where=slot, sqlite_where=slot)


def make_claim_index(*columns: str) -> None:
    """Index what is free, in the order of claims."""
    free = sa.text("reserved_at IS NULL")
    op.create_index("ix_jobs_claim", "jobs", list(columns), postgresql_where=free, sqlite_where=free)


def kind_in(payload: str) -> str:
    """Name the kind of a payload; ? when it cannot be read."""
    try:
        return str(json.loads(payload)["kind"])[:60]
    except (ValueError, KeyError, TypeError):
        return "?"


def make_job_stats() -> None:
    """What became of jobs, by the minute."""
    numbers = ("done", "failed", "released", "wait_us", "wait_max_us", "run_us", "run_max_us")
    op.create_table(
        "job_stats",
        must("minute", Big, primary_key=True, autoincrement=False),
        must("queue", text(60), primary_key=True),
        must("kind", text(60), primary_key=True),
        *(must(name, Big) for name in numbers),
    )


def make_queue_depths() -> None:
    """How full the queues were, by the minute."""
    op.create_table(
        "queue_depths",
        must("minute", Big, primary_key=True, autoincrement=False),
        must("queue", text(60), primary_key=True),
        *(must(name, Big) for name in ("waiting", "delayed", "reserved", "oldest_us")),
    )


def downgrade() -> None:
    """Take all of it away again."""
    op.drop_table("queue_depths")
    op.drop_table("job_stats")
    op.drop_index("ix_jobs_slot", "jobs")
    op.drop_index("ix_jobs_claim", "jobs")
    for table, columns in reversed(added().items()):
        with op.batch_alter_table(table) as batch:
            if table == "jobs":
                batch.drop_constraint("uq_jobs_unique_key", type_="unique")
            for column in reversed(columns):
                batch.drop_column(column.name)
    make_claim_index("queue", "priority", "available_at", "id")
