# In a shell
curl $url/v1/track --user $key: --header 'Content-Type: application/json' \
  --data '{"userId": "user-1", "event": "Tried Horizon"}'
