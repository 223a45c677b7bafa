package org.apache.dolphinscheduler.registry.api;

public interface SubscribeListener {
    void notify(Event event);
}
