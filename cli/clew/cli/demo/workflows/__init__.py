"""The four workflows of the field, each as services that know only their own part."""
