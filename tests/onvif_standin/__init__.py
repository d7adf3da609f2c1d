"""A camera's ONVIF services on loopback, for tests: SOAP over HTTP, and WS-Discovery."""
