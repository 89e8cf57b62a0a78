"""Reports, inbound texts, opt-outs; gateways' breakers and rates; schedules, pauses, teams' rules; tags of jobs."""

from functools import partial

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from smsqueue.db import BigId, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ZERO = sa.text("0")
Big = sa.BigInteger()
must = partial(sa.Column, nullable=False)
may = sa.Column
text = sa.String
moment, Id = UtcDateTime(), BigId


def exact(length: int) -> sa.String:
    """Make a type for text in which capital letters count."""
    return text(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def added() -> dict[str, list[sa.Column[object]]]:
    """Return the columns that tables get; new objects each time, since each belongs to one table."""
    return {
        "jobs": [may("tag", exact(40))],
        "failed_jobs": [may("tag", exact(40))],
        "teams": [
            must("time_zone", text(40), server_default="UTC"),
            must("sending_hours", text(11), server_default=""),
            must("first_ten_above", sa.Integer(), server_default="500"),
            must("type_count_above", sa.Integer(), server_default="1000"),
            must("daily_cap", sa.Integer(), server_default=ZERO),
            must("max_slices", sa.SmallInteger(), server_default=ZERO),
            must("copies_per_hour", sa.SmallInteger(), server_default="2"),
            must("opt_out_words", text(200), server_default=""),
            must("gateways", text(100), server_default=""),
        ],
        **added_to_campaigns(),
    }


def added_to_campaigns() -> dict[str, list[sa.Column[object]]]:
    """Return what campaigns, recipients and attempts get."""
    return {
        "sms_campaigns": [
            must("unknown_policy", text(8), server_default="hold"),
            may("validity_seconds", sa.Integer()),
            must("sending_hours", text(11), server_default=""),
            may("scheduled_for", moment),
            must("time_zone", text(40), server_default=""),
            must("first_ten", sa.Boolean(), server_default=sa.false()),
            may("first_ten_chosen", sa.Boolean()),
            must("opted_out", sa.Integer(), server_default=ZERO),
            must("braked", sa.Integer(), server_default=ZERO),
            may("released_at", moment),
            may("paused_at", moment),
            must("reopened", sa.Integer(), server_default=ZERO),
            must("is_end_told", sa.Boolean(), server_default=sa.false()),
            may("cloned_from", sa.Uuid()),
        ],
        "sms_skipped_rows": [must("opted_out", sa.Boolean(), server_default=sa.false())],
        "sms_recipients": [must("country", text(2), server_default="")],
        "sms_attempts": [
            may("sender", text(40)),
            may("validity_seconds", sa.Integer()),
            must("may_retry", sa.Boolean(), server_default=sa.false()),
            may("parts", sa.SmallInteger()),
            may("price", text(30)),
            must("is_partial", sa.Boolean(), server_default=sa.false()),
            may("reported", text(11)),
            may("reported_at", moment),
            must("looked_up", sa.SmallInteger(), server_default=ZERO),
            may("looked_up_at", moment),
            must("not_found", sa.SmallInteger(), server_default=ZERO),
            must("is_repeated", sa.Boolean(), server_default=sa.false()),
        ],
    }


def upgrade() -> None:
    """Add them; the jobs of campaigns that run already get their tag from their payload."""
    for table, columns in added().items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.add_column(column)
    op.create_index("ix_sms_recipients_number", "sms_recipients", ["number"])
    op.create_index("ix_sms_campaigns_confirmed", "sms_campaigns", ["team_id", "confirmed_at"])
    op.create_index("ix_sms_campaigns_recent", "sms_campaigns", ["team_id", "status", "finished_at"])
    tagged = sa.text("tag IS NOT NULL")
    op.create_index("ix_jobs_tag", "jobs", ["tag"], postgresql_where=tagged, sqlite_where=tagged)
    tag_jobs()
    make_gateways()
    make_reports()
    make_inbox()


def tag_jobs() -> None:
    """Give the jobs of campaigns the tag by which they are found."""
    connection = op.get_bind()
    for name in ("jobs", "failed_jobs"):
        table = sa.table(name, sa.column("id"), sa.column("kind"), sa.column("payload"), sa.column("tag"))
        sending = sa.select(table.c.id, table.c.payload).where(table.c.kind.in_(("sms.send-single", "sms.send-bulk")))
        for row in connection.execute(sending).all():
            _, _, rest = row.payload.partition('"campaign_id": ')
            number = rest.partition(",")[0].partition("}")[0]
            if number.isdecimal():
                connection.execute(sa.update(table).where(table.c.id == row.id).values(tag=f"campaign:{number}"))


def make_gateways() -> None:
    """What is known of each gateway."""
    op.create_table(
        "sms_gateways",
        must("name", text(20), primary_key=True),
        must("failures", sa.Integer(), server_default=ZERO),
        may("opened_at", moment),
        may("probe_at", moment),
        may("reason", text(300)),
        may("paused_at", moment),
        may("paused_by", text(300)),
    )
    op.create_table(
        "sms_rates",
        must("name", text(60), primary_key=True),
        must("per_second", sa.Float()),
        must("due_us", Big),
        may("throttled_at", moment),
    )
    op.create_table(
        "sms_gateway_references",
        must("gateway", text(20), primary_key=True),
        must("gateway_reference", text(100), primary_key=True),
        must("reference", text(40)),
    )


def make_reports() -> None:
    """Every delivery report, once."""
    op.create_table(
        "sms_reports",
        must("id", Id, primary_key=True),
        may("attempt_id", Id, sa.ForeignKey("sms_attempts.id")),
        must("gateway", text(20)),
        must("reference", text(40), server_default=""),
        must("gateway_reference", text(100), server_default=""),
        must("state", text(11)),
        must("code", text(40), server_default=""),
        must("reason", text(300), server_default=""),
        may("price", text(30)),
        may("at", moment),
        must("received_at", moment),
        sa.UniqueConstraint("gateway", "reference", "gateway_reference", "state"),
    )
    op.create_index("ix_sms_reports_attempt", "sms_reports", ["attempt_id"])


def make_inbox() -> None:
    """Texts that came in, and who wants none any more."""
    op.create_table(
        "sms_inbound",
        must("id", Id, primary_key=True),
        may("team_id", sa.Integer(), sa.ForeignKey("teams.id")),
        must("gateway", text(20)),
        may("gateway_reference", text(100)),
        must("sender", text(20)),
        must("to", text(20), server_default=""),
        must("text", sa.Text()),
        must("meaning", text(8), server_default="other"),
        may("piece_reference", text(40)),
        may("piece_number", sa.SmallInteger()),
        may("piece_count", sa.SmallInteger()),
        may("at", moment),
        must("received_at", moment),
        may("read_at", moment),
        sa.UniqueConstraint("gateway", "gateway_reference"),
    )
    op.create_index("ix_sms_inbound_team", "sms_inbound", ["team_id", "id"])
    op.create_index("ix_sms_inbound_piece", "sms_inbound", ["gateway", "sender", "piece_reference"])
    op.create_table(
        "sms_opt_outs",
        must("team_id", sa.Integer(), sa.ForeignKey("teams.id"), primary_key=True),
        must("number", text(16), primary_key=True),
        must("source", text(8)),
        must("note", text(200), server_default=""),
        may("user_id", sa.Integer(), sa.ForeignKey("users.id")),
        must("created_at", moment),
    )


def downgrade() -> None:
    """Take all of it away again."""
    names = ("opt_outs", "inbound", "reports", "gateway_references", "rates", "gateways")
    for name in names:
        op.drop_table(f"sms_{name}")
    op.drop_index("ix_jobs_tag", "jobs")
    op.drop_index("ix_sms_recipients_number", "sms_recipients")
    op.drop_index("ix_sms_campaigns_confirmed", "sms_campaigns")
    op.drop_index("ix_sms_campaigns_recent", "sms_campaigns")
    for table, columns in reversed(added().items()):
        with op.batch_alter_table(table) as batch:
            for column in reversed(columns):
                batch.drop_column(column.name)
