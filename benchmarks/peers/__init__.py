"""The job of coldchain done with other tools, each as a competent user of that tool would write it.

One kit per logger; from MQTT messages with native JSON columns to the time above 8 degC, the known time and the MKT of
each kit, by the preceding-interval rule: a reading covers the time since the reading before it, up to `GAP_AFTER_MS`;
after a longer gap, or with none before it, one logging interval. A null is a fault: its interval is unknown. Unknown
time is what of the custody is not known; every peer gets that subtraction for nothing.
"""
