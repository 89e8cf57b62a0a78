"""In a real Chromium, on real processes: web server, worker and outside world."""
