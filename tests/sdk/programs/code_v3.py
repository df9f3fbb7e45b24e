"""Code of one's own served with SageMaker SDK v3: a model in a bucket, and an inference.py that ModelBuilder packs."""

import io
import json
import tarfile
from pathlib import Path

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.training.configs import SourceCode
from sagemaker.serve.model_builder import ModelBuilder

here, session = Path(__file__).parent, Session()
script = """
import json
def model_fn(model_dir):
    with open(model_dir + "/factor.json") as file:
        return json.load(file)
def input_fn(body, content_type):
    return json.loads(body)
def predict_fn(rows, model):
    return [model * row for row in rows]
def output_fn(prediction, accept):
    return json.dumps({"predictions": prediction}), accept
"""
source = Path("source")
source.mkdir()
(source / "inference.py").write_text(script)
stream = io.BytesIO()
with tarfile.open(fileobj=stream, mode="w:gz") as archive:
    member = tarfile.TarInfo("./factor.json")
    member.size = 1
    archive.addfile(member, io.BytesIO(b"3"))
bucket = session.default_bucket()
session.boto_session.client("s3").put_object(Bucket=bucket, Key="code-v3/model.tar.gz", Body=stream.getvalue())

image = image_uris.retrieve(
    "pytorch",
    session.boto_region_name,
    version="2.1",
    py_version="py310",
    instance_type="ml.m5.large",
    image_scope="inference",
)
builder = ModelBuilder(
    image_uri=image,
    s3_model_data_url=f"s3://{bucket}/code-v3/model.tar.gz",
    source_code=SourceCode(source_dir=str(source), entry_script="inference.py"),
    role_arn=get_execution_role(),
    sagemaker_session=session,
    instance_type="ml.m5.large",
)
builder.build(model_name="code-v3")
endpoint = builder.deploy(endpoint_name="code-v3")
answer = endpoint.invoke(body=json.dumps([1, 2]), content_type="application/json", accept="application/json")
print("answer", json.loads(answer.body.read()))
endpoint.delete()
