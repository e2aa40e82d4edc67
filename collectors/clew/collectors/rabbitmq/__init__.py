"""RabbitMQ as a source: ``collector`` reads it, ``settings`` says what and how.

Needs the extra ``clew[rabbitmq]``.
"""
