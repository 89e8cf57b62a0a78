"""Sending mails; what the mail server does wrong is raised, and the job is tried again."""

from uuid import UUID

from smsqueue.domain.jobs import SendMailJob, SendResetMailJob
from smsqueue.mail import Mailer
from smsqueue.models import Notice, User
from smsqueue.queue.runner import Run


def notice(job: SendMailJob, run: Run, *, mailer: Mailer) -> None:
    """Mail a notice to its person, unless either is gone or may not sign in any more."""
    with run.database.reading() as session:
        found = session.get(Notice, UUID(job.notice_id))
        user = session.get(User, found.notifiable_id) if found else None
    if found and user and user.active:
        mailer.campaign_ended(found, user)


def reset(job: SendResetMailJob, run: Run, *, mailer: Mailer) -> None:
    """Mail the link for a new password, unless the person may not sign in any more."""
    with run.database.reading() as session:
        user = session.get(User, job.user_id)
    if user and user.active:
        mailer.reset(user)
