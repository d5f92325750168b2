import json
tell(attempt(json.__spec__.loader.get_data, SECRET))
tell(attempt(json.__loader__.get_source, SECRET))
