package org.apache.streampark.registry.api;

public interface SubscribeListener {
    void notify(Event event);
}
