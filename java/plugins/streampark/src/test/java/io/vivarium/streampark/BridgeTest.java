package io.vivarium.streampark;

import io.vivarium.plugin.BridgeContract;
import org.apache.streampark.plugin.registry.former.FormerRegistryAutoConfiguration;

class BridgeTest extends BridgeContract {
    BridgeTest() {
        super(Tested.PLUGIN, FormerRegistryAutoConfiguration.class);
    }
}
