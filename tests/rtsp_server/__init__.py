"""A real RTSP server for tests, and the clips it serves."""
