"""WSGI layers around Django that know no page: the bulkhead, client addresses, request ids."""
