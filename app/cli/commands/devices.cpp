// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"

namespace quantloupe::cli {
namespace {

Json figureOf(const DeviceFigure& figure)
{
    return {{"value", number(figure.value)}, {"source", figure.source}};
}

Json jsonOf(const DeviceProfile& device)
{
    Json compute = Json::array();
    for (const auto& rate : device.compute)
        compute.push_back({{"type", rate.type}, {"ops_per_s", number(rate.rate.value)}, {"source", rate.rate.source}});
    return {
        {"id", device.id},
        {"name", device.name},
        {"kind", device.kind},
        {"memory_bytes", figureOf(device.memoryBytes)},
        {"memory_bytes_per_s", figureOf(device.memoryBandwidth)},
        {"bandwidth_efficiency", figureOf(device.bandwidthEfficiency)},
        {"compute_efficiency", figureOf(device.computeEfficiency)},
        {"compute", std::move(compute)},
        {"energy_j_per_byte", figureOf(device.energyPerByte)},
        {"energy_j_per_op", figureOf(device.energyPerOperation)},
        {"idle_w", figureOf(device.idlePower)},
    };
}

Result<void> listDevices(const Session& session)
{
    const auto devices = bundledDevices(session);
    if (!devices)
        return tl::unexpected(devices.error());
    Findings findings;
    Json list = Json::array();
    findings.table = TextTable({"device", "name", "kind", "memory", "bandwidth", "FP16 operations/s"});
    for (const auto& device : *devices) {
        list.push_back(jsonOf(device));
        findings.table.add({device.id, device.name, device.kind, byteText(device.memoryBytes.value),
            byteText(device.memoryBandwidth.value) + "/s", {device.rateFor("fp16"), 3}});
    }
    findings.text = findings.table.text();
    findings.json = {{"devices", std::move(list)}};
    return present(session, findings);
}

Action setUpDevices(CLI::App& command)
{
    command.footer(
        "Each figure names its source in the JSON form. A profile of your own is a file in the same form as\n"
        "those in resources/devices, given to 'project --device' by its path.");
    return [](Session& session) { return listDevices(session); };
}

}  // namespace

extern const Command devicesCommand;
const Command devicesCommand {"devices", "Lists the device profiles that projections know", OutOption, setUpDevices};

}  // namespace quantloupe::cli
