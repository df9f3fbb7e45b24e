"""``from sagemaker_xgboost_container.constants import xgb_content_types``."""
