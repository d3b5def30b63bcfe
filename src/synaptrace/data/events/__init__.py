"""Recordings of event cameras and silicon cochleas: file formats, frames, augmentation."""
