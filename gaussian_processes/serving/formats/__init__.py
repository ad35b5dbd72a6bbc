"""Request and response bodies: negotiation, decoders and encoders of the media types."""
