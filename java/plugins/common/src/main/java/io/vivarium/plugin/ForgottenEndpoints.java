package io.vivarium.plugin;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.core.env.PropertyResolver;

/**
 * Warns of a host that has been switched to {@code registry.type: embedded} without the endpoints of an ensemble, while
 * the rest of its configuration still shows that it is one of several: each of them would have a registry of its own, and
 * each of their masters would take itself for the only one.
 *
 * <p>What a release ships in its configuration file shows nothing: a ZooKeeper on the same machine.
 */
public final class ForgottenEndpoints {
    private static final Logger LOGGER = LoggerFactory.getLogger(ForgottenEndpoints.class);
    /** Nothing, or what the configuration files of releases say. */
    private static final Pattern SHIPPED = Pattern.compile("\\s*((localhost|127\\.0\\.0\\.1)(:2181)?)?\\s*");
    private static final Pattern FALSE = Pattern.compile("\\s*(false|no|off)?\\s*", Pattern.CASE_INSENSITIVE);
    private static final Pattern NOTHING = Pattern.compile("\\s*");

    /** The keys of other registries, each with what it says where it shows nothing. */
    private static final Map<String, Pattern> KEYS = keys();

    private ForgottenEndpoints() {
    }

    private static Map<String, Pattern> keys() {
        Map<String, Pattern> keys = new LinkedHashMap<>();
        for (String key : Arrays.asList("registry.zookeeper.connect-string", "registry.zookeeper.servers", "registry.servers",
            "high-availability.zookeeper.quorum")) {
            keys.put(key, SHIPPED);
        }
        keys.put("high-availability.enable", FALSE);
        for (String key : Arrays.asList("registry.endpoints", "registry.hikari-config.jdbc-url", "registry.jdbc.url",
            "registry.mysql.url")) {
            keys.put(key, NOTHING);
        }
        return keys;
    }

    /** Says so, once, where that is so. What the keys say is not told: there may be passwords in it. */
    public static void warn(EmbeddedRegistryProperties properties, PropertyResolver host) {
        List<String> endpoints = properties.getEndpoints();
        if (endpoints != null && !endpoints.isEmpty()) {
            return;
        }
        List<String> shown = shown(host);
        if (!shown.isEmpty()) {
            LOGGER.warn("registry.type is embedded and registry.embedded.endpoints is not set, so this host starts a registry "
                + "of its own that no other host sees, while {} in its configuration shows another registry. Hosts that each "
                + "have their own know nothing of each other, and all of their masters do the same work. Set "
                + "registry.embedded.endpoints to the members of one ensemble (HOST:2191,HOST:2191,...), the same on all "
                + "hosts; if this host is the only one, remove the other keys", String.join(", ", shown));
        }
    }

    /** The keys that show another registry. */
    static List<String> shown(PropertyResolver host) {
        List<String> shown = new ArrayList<>();
        KEYS.forEach((key, nothing) -> {
            for (String each : Arrays.asList(key, key + "[0]")) {
                if (isShown(host, each, nothing)) {
                    shown.add(key);
                    return;
                }
            }
        });
        return Collections.unmodifiableList(shown);
    }

    private static boolean isShown(PropertyResolver host, String key, Pattern nothing) {
        try {
            String value = host.getProperty(key);
            return value != null && !nothing.matcher(value).matches();
        } catch (IllegalArgumentException unresolved) {
            // A placeholder for what this host is not told, and does not need any more: somebody has set it all the same.
            return true;
        }
    }
}
