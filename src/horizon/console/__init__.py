"""The console: sign-in, roles and every screen. A Django project in one process of its own."""
