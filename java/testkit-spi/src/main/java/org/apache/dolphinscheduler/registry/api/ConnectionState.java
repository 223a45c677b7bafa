package org.apache.dolphinscheduler.registry.api;

public enum ConnectionState {
    CONNECTED,
    RECONNECTED,
    SUSPENDED,
    DISCONNECTED
}
