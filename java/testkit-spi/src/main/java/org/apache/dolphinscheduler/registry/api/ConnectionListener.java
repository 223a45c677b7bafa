package org.apache.dolphinscheduler.registry.api;

public interface ConnectionListener {
    void onUpdate(ConnectionState newState);
}
