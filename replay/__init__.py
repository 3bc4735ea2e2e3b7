"""Everything that touches the world: deploy, record, drive load, shift weights, and the local cloud."""
