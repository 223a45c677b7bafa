package io.vivarium.dolphinscheduler.v31;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What the configuration of a node says at each step of the way from one registry to the other. */
enum Step {
    OLD(null),
    BRIDGE_READING_OLD("old"),
    BRIDGE_READING_EMBEDDED("embedded"),
    EMBEDDED(null);

    private final String readFrom;

    Step(String readFrom) {
        this.readFrom = readFrom;
    }

    /** As the command line of a host. */
    String[] arguments(Former former, String endpoint) {
        Map<String, String> properties = new TreeMap<>();
        if (this != EMBEDDED) {
            properties.putAll(former.properties());
        }
        if (this == OLD) {
            properties.put("type", former.type());
        } else {
            properties.put("type", "embedded");
            properties.put("embedded.endpoints", endpoint);
            properties.put("embedded.session-timeout", "2s");
            properties.put("embedded.block-until-connected", "3s");
            properties.put("embedded.heartbeat-refresh-interval", "500ms");
        }
        if (readFrom != null) {
            properties.put("embedded.bridge.from", former.type());
            properties.put("embedded.bridge.read-from", readFrom);
        }
        List<String> arguments = new ArrayList<>();
        properties.forEach((key, value) -> arguments.add("--registry." + key + "=" + value));
        return arguments.toArray(new String[0]);
    }
}
