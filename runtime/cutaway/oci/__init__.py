"""Values of the OCI image specification: digest, reference, descriptor, manifest, config."""
