from tf_kit.stderr import closed

__all__ = ["closed"]
