package io.vivarium.streampark;

import io.vivarium.plugin.AutoConfigurationContract;

class EmbeddedRegistryAutoConfigurationTest extends AutoConfigurationContract {
    EmbeddedRegistryAutoConfigurationTest() {
        super(Tested.PLUGIN);
    }
}
