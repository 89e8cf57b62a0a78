"""What `flask` and a WSGI server (`gunicorn wsgi:app`) find in a checkout."""

from smsqueue.app import create_app

app = create_app()
