"""What services push: OTLP over gRPC and HTTP, and Zipkin's spans, answered after the commit."""
