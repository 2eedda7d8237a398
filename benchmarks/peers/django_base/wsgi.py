"""The WSGI application of a Django peer."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_base.settings")
application = get_wsgi_application()
