"""A device as the vendor's Python SDK makes one of paho: sign type 1, keepalive 120, TLS 1.2 without a look at the name,
no subscription, an event at once after the connect, an answer to each command. Prints one JSON line for all that happens;
ends after a command, or after the number of refusals that the last argument tells."""

import datetime
import hashlib
import hmac
import json
import ssl
import sys

import paho.mqtt.client as mqtt

device, secret, port, ca, refusals = sys.argv[1:6]
hour = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d%H")
left = int(refusals)


def tell(**what):
    print(json.dumps(what), flush=True)


def on_connect(client, _, flags, code):
    global left
    tell(connect=code, session=flags["session present"])
    if code == 0:
        client.publish(f"$oc/devices/{device}/sys/events/up", '{"event_type": "log_report"}', qos=1)
        return
    left -= 1
    if left == 0:
        sys.exit(0)


def on_message(client, _, message):
    tell(topic=message.topic, payload=message.payload.decode(), qos=message.qos)
    answer = message.topic.replace("/commands/", "/commands/response/")
    client.publish(answer, '{"result_code": 0}', qos=1)


def on_publish(client, _, number):
    tell(published=number)
    if number == 2:
        client.disconnect()


client = mqtt.Client(f"{device}_0_1_{hour}", clean_session=True, protocol=mqtt.MQTTv311)
password = hmac.new(hour.encode(), secret.encode(), hashlib.sha256).hexdigest()
client.username_pw_set(device, password)
client.on_connect, client.on_message, client.on_publish = on_connect, on_message, on_publish
client.reconnect_delay_set(1, 30)
if ca != "":
    client.tls_set(ca, tls_version=ssl.PROTOCOL_TLSv1_2)
    client.tls_insecure_set(True)
client.connect("localhost", int(port), keepalive=120)
client.loop_forever()
