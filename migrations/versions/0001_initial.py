"""Every table of the first version."""

from collections.abc import Callable
from functools import partial

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from smsqueue.db import BigId, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Whole, Small, Big, Time = sa.Integer(), sa.SmallInteger(), sa.BigInteger(), UtcDateTime()
must = partial(sa.Column, nullable=False)
may = sa.Column
text = sa.String
LargeBlob = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
COUNTS = (
    *("queued", "sending", "sent", "delivered", "undelivered", "failed", "unknown"),
    *("cancelled", "expired", "suppressed", "gave_up"),
)


def upgrade() -> None:
    """Make them, what is referred to first."""
    for make in TABLES.values():
        make()


def downgrade() -> None:
    """Remove them, what refers first; their indexes go with them."""
    for table in reversed(TABLES):
        op.drop_table(table)


def make_jobs() -> None:
    """Jobs that wait or run."""
    op.create_table(
        "jobs",
        must("id", BigId, primary_key=True),
        must("uuid", text(36), unique=True),
        must("queue", text(60)),
        must("kind", text(60)),
        must("payload", LongText),
        must("priority", Small),
        must("attempts", Small),
        must("available_at", Big),
        must("created_at", Big),
        may("reserved_at", Big),
        may("worker_id", Big),
        may("claim_token", text(32)),
        may("last_error", text(500)),
    )
    free, held = sa.text("reserved_at IS NULL"), sa.text("worker_id IS NOT NULL")
    op.create_index(
        "ix_jobs_claim", "jobs", ["queue", "priority", "available_at", "id"], postgresql_where=free, sqlite_where=free
    )
    op.create_index("ix_jobs_worker", "jobs", ["worker_id"], postgresql_where=held, sqlite_where=held)


def make_failed_jobs() -> None:
    """Jobs that were given up."""
    op.create_table(
        "failed_jobs",
        must("id", BigId, primary_key=True),
        must("uuid", text(36), unique=True),
        must("connection", text(20)),
        must("queue", text(60)),
        must("payload", LongText),
        must("exception", LongText),
        must("failed_at", Time, index=True),
    )


def make_workers() -> None:
    """Worker processes and their leases."""
    op.create_table(
        "workers",
        must("id", BigId, primary_key=True),
        must("host", text(100)),
        must("pid", Whole),
        must("queues", text(500)),
        must("state", text(10)),
        may("stop_reason", text(60)),
        must("jobs_done", Big),
        must("started_at", Big),
        must("heartbeat_at", Big),
        must("expires_at", Big),
    )
    op.create_index("ix_workers_state", "workers", ["state", "expires_at"])


def make_controls() -> None:
    """What an operator asked of all workers."""
    op.create_table("controls", must("name", text(80), primary_key=True), must("value", Big))


def make_teams() -> None:
    """Teams."""
    op.create_table(
        "teams",
        must("id", Whole, primary_key=True),
        must("name", text(100), unique=True),
        must("country", text(2)),
        must("countries", text(1000)),
        must("created_at", Time),
    )


def make_users() -> None:
    """The people in them."""
    op.create_table(
        "users",
        must("id", Whole, primary_key=True),
        must("team_id", Whole, sa.ForeignKey("teams.id"), index=True),
        must("email", text(255), unique=True),
        must("password", text(255)),
        must("active", sa.Boolean()),
        must("operator", sa.Boolean()),
        must("fs_uniquifier", text(64), unique=True),
        must("failed_logins", Whole),
        may("locked_until", Time),
        must("created_at", Time),
    )


def make_notifications() -> None:
    """What the bell shows."""
    op.create_table(
        "notifications",
        must("id", sa.Uuid(), primary_key=True),
        must("type", text(60)),
        must("notifiable_type", text(30)),
        must("notifiable_id", Big),
        must("data", sa.JSON()),
        may("read_at", Time),
        must("created_at", Time, index=True),
        must("updated_at", Time),
    )
    op.create_index("ix_notifications_notifiable", "notifications", ["notifiable_type", "notifiable_id", "read_at"])


def make_uploads() -> None:
    """Recipients' files of drafts."""
    op.create_table(
        "sms_uploads",
        must("id", BigId, primary_key=True),
        must("uuid", sa.Uuid(), unique=True),
        must("team_id", Whole, sa.ForeignKey("teams.id")),
        must("filename", text(255)),
        must("content", LargeBlob),
        must("created_at", Time, index=True),
    )


def make_campaigns() -> None:
    """Campaigns with their counts."""
    op.create_table(
        "sms_campaigns",
        must("id", BigId, primary_key=True),
        must("uuid", sa.Uuid(), unique=True),
        must("team_id", Whole, sa.ForeignKey("teams.id")),
        must("user_id", Whole, sa.ForeignKey("users.id")),
        must("kind", text(6)),
        must("name", text(100)),
        must("text", sa.Text()),
        must("status", text(10)),
        may("error", text(500)),
        may("upload_id", BigId, sa.ForeignKey("sms_uploads.id", ondelete="SET NULL")),
        must("column", Whole),
        may("token", text(64), unique=True),
        must("checked_rows", Whole),
        must("rows", Whole),
        may("checked_at", Time),
        must("bad", Whole),
        must("duplicates", Whole),
        may("countries", sa.JSON()),
        must("total", Whole),
        must("segments", Whole),
        *(must(name, Big) for name in ("price", "charged", "returned", "spent")),
        *(must(name, Whole) for name in COUNTS),
        must("created_at", Time),
        *(may(name, Time) for name in ("confirmed_at", "started_at", "finished_at", "valid_until")),
    )
    op.create_index("ix_sms_campaigns_status", "sms_campaigns", ["status", "finished_at"])
    op.create_index("ix_sms_campaigns_team", "sms_campaigns", ["team_id", "id"])


def make_skipped_rows() -> None:
    """Rows of a file that are not sent to."""
    op.create_table(
        "sms_skipped_rows",
        must("id", BigId, primary_key=True),
        must("campaign_id", BigId, sa.ForeignKey("sms_campaigns.id", ondelete="CASCADE")),
        must("source_row", Whole),
        must("duplicate", sa.Boolean()),
        must("cell", text(200)),
        must("problem", text(500)),
    )
    op.create_index("ix_sms_skipped_rows_campaign", "sms_skipped_rows", ["campaign_id", "source_row"])


def make_recipients() -> None:
    """One message to one number each."""
    op.create_table(
        "sms_recipients",
        must("id", BigId, primary_key=True),
        must("campaign_id", BigId, sa.ForeignKey("sms_campaigns.id")),
        must("row", Whole),
        must("source_row", Whole),
        must("number", text(16)),
        may("text", sa.Text()),
        must("encoding", text(5)),
        must("segments", Small),
        must("price", Whole),
        must("state", text(11)),
        must("attempts", Small),
        may("not_before", Time),
        may("error", text(300)),
        may("code", text(40)),
        may("settlement_id", Big),
        may("updated_at", Time),
        sa.UniqueConstraint("campaign_id", "row"),
    )


def make_attempts() -> None:
    """The send journal."""
    op.create_table(
        "sms_attempts",
        must("id", BigId, primary_key=True),
        must("recipient_id", BigId, sa.ForeignKey("sms_recipients.id")),
        must("number", Small),
        must("reference", text(40), unique=True),
        may("worker_id", Big),
        must("claim_token", text(32)),
        must("gateway", text(20)),
        must("outcome", text(10)),
        may("gateway_reference", text(100)),
        may("code", text(40)),
        may("reason", text(300)),
        must("started_at", Time),
        may("ended_at", Time),
        sa.UniqueConstraint("recipient_id", "number"),
    )


def make_accounts() -> None:
    """Places where credits lie."""
    op.create_table(
        "accounts",
        must("id", BigId, primary_key=True),
        must("name", text(40), unique=True),
        may("balance", Big),
        sa.CheckConstraint("balance >= 0", name="not_negative"),
    )


def make_transactions() -> None:
    """Movements of credits."""
    op.create_table(
        "ledger_transactions",
        must("id", BigId, primary_key=True),
        must("key", text(80), unique=True),
        must("kind", text(20)),
        must("team_id", Whole, sa.ForeignKey("teams.id")),
        may("campaign_id", BigId, sa.ForeignKey("sms_campaigns.id"), index=True),
        may("user_id", Whole, sa.ForeignKey("users.id")),
        must("note", text(500)),
        must("created_at", Time),
    )


def make_entries() -> None:
    """What they changed where."""
    op.create_table(
        "ledger_entries",
        must("id", BigId, primary_key=True),
        must("transaction_id", BigId, sa.ForeignKey("ledger_transactions.id"), index=True),
        must("account_id", BigId, sa.ForeignKey("accounts.id")),
        must("amount", Big),
        sa.CheckConstraint("amount <> 0", name="not_zero"),
    )
    op.create_index("ix_ledger_entries_account", "ledger_entries", ["account_id", "id"])


TABLES: dict[str, Callable[[], None]] = {
    "jobs": make_jobs,
    "failed_jobs": make_failed_jobs,
    "workers": make_workers,
    "controls": make_controls,
    "teams": make_teams,
    "users": make_users,
    "notifications": make_notifications,
    "sms_uploads": make_uploads,
    "sms_campaigns": make_campaigns,
    "sms_skipped_rows": make_skipped_rows,
    "sms_recipients": make_recipients,
    "sms_attempts": make_attempts,
    "accounts": make_accounts,
    "ledger_transactions": make_transactions,
    "ledger_entries": make_entries,
}
