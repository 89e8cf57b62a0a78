"""Jobs as data: ids only."""

import json
from dataclasses import fields
from uuid import UUID

import pytest

from smsqueue.domain import jobs
from smsqueue.queue.job import Job

KINDS: list[type[Job]] = [
    jobs.SendSingleSmsJob,
    jobs.SendBulkSmsJob,
    jobs.CheckRowsJob,
    jobs.SendMailJob,
    jobs.SendResetMailJob,
]


@pytest.mark.parametrize("job_class", KINDS)
def test_a_job_holds_nothing_but_ids_and_row_numbers(job_class):
    assert {field.name for field in fields(job_class)} <= {
        "campaign_id",
        "first_row",
        "last_row",
        "notice_id",
        "user_id",
    }


@pytest.mark.parametrize(("job_class", "timeout"), [(jobs.SendSingleSmsJob, 60), (jobs.SendBulkSmsJob, 300)])
def test_sending_jobs_run_as_the_document_says(job_class, timeout):
    policy = job_class.policy

    assert job_class.queue == "sms"
    assert (policy.tries, policy.backoff, policy.timeout_seconds, policy.repeatable) == (3, (5,), timeout, True)


def test_mails_are_not_recorded_in_batches_for_they_would_be_sent_again():
    assert not jobs.SendMailJob.policy.repeatable
    assert not jobs.SendResetMailJob.policy.repeatable


def test_every_job_waits_in_a_queue_that_workers_ask():
    assert {job_class.queue for job_class in KINDS} <= set(jobs.QUEUES)
    assert all(issubclass(job_class, Job) for job_class in KINDS)


def test_a_slice_survives_its_payload():
    job = jobs.SendBulkSmsJob(campaign_id=7, first_row=1, last_row=500)

    content = json.loads(job.to_payload())

    assert jobs.SendBulkSmsJob.from_data(content["data"]) == job
    assert job.rows == (1, 500)


def test_a_single_sms_is_a_slice_of_one_row():
    assert jobs.SendSingleSmsJob(campaign_id=7).rows == (1, 1)


def test_a_mail_names_its_notice():
    assert jobs.SendMailJob.about(UUID(int=7)).notice_id == str(UUID(int=7))
