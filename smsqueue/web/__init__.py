"""What people see in the browser: each module allows, understands, calls one use case and answers."""
