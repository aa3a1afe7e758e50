// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// One figure of a device with where it comes from.
struct DeviceFigure {
    double value = 0.0;
    std::string source;  ///< data sheet or publication, with an address where there is one
    bool operator==(const DeviceFigure&) const = default;
};

/// Peak arithmetic rate for one kind of operand.
struct ComputeRate {
    std::string type;   ///< "fp32", "fp16", "bf16", "fp8", "int8", "int4"
    DeviceFigure rate;  ///< operations per second (a multiply-add counts two), dense
    bool operator==(const ComputeRate&) const = default;
};

/// A device as the roofline model sees it: `resources/devices/<id>.json`.
struct DeviceProfile {
    std::string id;  ///< file name without suffix, e.g. "rtx-4090"
    std::string name;
    std::string kind;                  ///< "cpu", "gpu", "soc"
    DeviceFigure memoryBytes;          ///< memory a model can occupy
    DeviceFigure memoryBandwidth;      ///< bytes per second, peak
    DeviceFigure bandwidthEfficiency;  ///< share of peak reached in practice, 0 … 1
    DeviceFigure computeEfficiency;    ///< likewise
    std::vector<ComputeRate> compute;
    DeviceFigure energyPerByte;       ///< joules per byte moved from memory
    DeviceFigure energyPerOperation;  ///< joules per operation at fp16 (int8 where there is no fp16)
    DeviceFigure idlePower;           ///< watts, drawn while a token is made
    bool operator==(const DeviceProfile&) const = default;

    /// Reads one profile; its id is `where`'s file name without suffix. Every figure must be positive (idle power may
    /// be zero), efficiencies at most 1, and every source present. Errors: InvalidArgument naming the key, Malformed.
    static Result<DeviceProfile> fromJson(std::string_view text, const std::string& where);
    /// Peak operations per second for operands of this type or, where the device has no such units, of the next wider
    /// type that it has: int4 → int8 → fp16, fp8 → fp16, bf16 ↔ fp16 → fp32. 0 when nothing fits.
    double rateFor(std::string_view type) const;
};

/// Every *.json in a folder, ordered by id. Errors: the first file that is not valid, with the key.
Result<std::vector<DeviceProfile>> loadDevices(const std::filesystem::path& folder);

}  // namespace quantloupe
