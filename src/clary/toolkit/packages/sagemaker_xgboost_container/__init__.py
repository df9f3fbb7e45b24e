"""What scripts use of SageMaker's XGBoost image. Clary's own: on the path of its jobs only.

Source: sagemaker-xgboost-container, data_utils.py, encoder.py, distributed.py.
"""
