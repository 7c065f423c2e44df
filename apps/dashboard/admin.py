"""How Django's admin calls itself here. The models are registered by the apps that own them."""

from django.contrib import admin

admin.site.site_header = "PacSync administration"
admin.site.site_title = "PacSync"
admin.site.index_title = "All tables"
