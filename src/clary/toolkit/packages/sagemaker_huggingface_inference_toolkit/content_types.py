"""The media types that the toolkit knows. Source: sagemaker-huggingface-inference-toolkit 2.4, content_types.py."""

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
ANY = "*/*"
UTF8_TYPES = [JSON, CSV]

PNG = "image/png"
JPEG = "image/jpeg"
BMP = "image/bmp"
GIF = "image/gif"
WEBP = "image/webp"
TIFF = "image/tiff"
X_IMAGE = "image/x-image"

FLAC = "audio/x-flac"
MP3 = "audio/mpeg"
WAV = "audio/wave"
OGG = "audio/ogg"
X_AUDIO = "audio/x-audio"
