"""Rules and use cases. The first argument is a session; the edge commits; nothing here knows a page."""
