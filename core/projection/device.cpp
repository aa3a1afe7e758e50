// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/projection/device.h"

#include "core/base/mapped_file.h"
#include "core/recipes/strict_json.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantloupe {
namespace {

constexpr std::uintmax_t kMaxFile = 1 << 20;
constexpr std::array<std::string_view, 3> kKinds {"cpu", "gpu", "soc"};
constexpr std::array<std::string_view, 6> kTypes {"fp32", "fp16", "bf16", "fp8", "int8", "int4"};

enum class Range { Positive, Share, NotNegative };

Result<DeviceFigure> readFigure(const StrictObject& object, std::string_view key, Range range)
{
    const auto value = object.number(key);
    if (!value)
        return tl::unexpected<Error>(value.error());
    auto source = object.text("source");
    if (!source)
        return tl::unexpected<Error>(source.error());
    if (source->empty())
        return object.complain("source", "a figure needs its source");
    const bool fits = std::isfinite(*value)
        && (range == Range::NotNegative ? *value >= 0.0 : *value > 0.0 && (range == Range::Positive || *value <= 1.0));
    if (!fits)
        return object.complain(key, range == Range::Share ? "must be above 0 and at most 1" : "must be positive");
    return DeviceFigure {*value, std::move(*source)};
}

Result<DeviceFigure> readMember(
    const StrictObject& document, std::string_view key, Range range, const std::string& where)
{
    const auto* value = document.find(key);
    if (!value)
        return document.complain(key, "missing");
    const auto object = StrictObject::of(*value, std::string(key), where, {"value", "source"});
    if (!object)
        return tl::unexpected<Error>(object.error());
    return readFigure(*object, "value", range);
}

Result<std::vector<ComputeRate>> readCompute(const StrictObject& document, const std::string& where)
{
    const auto list = document.array("compute");
    if (!list)
        return tl::unexpected<Error>(list.error());
    std::vector<ComputeRate> rates;
    for (std::size_t i = 0; i < (*list)->size(); ++i) {
        const auto object =
            StrictObject::of((**list)[i], "compute[" + std::to_string(i) + "]", where, {"type", "rate", "source"});
        if (!object)
            return tl::unexpected<Error>(object.error());
        auto type = object->text("type");
        if (!type)
            return tl::unexpected<Error>(type.error());
        if (std::find(kTypes.begin(), kTypes.end(), *type) == kTypes.end())
            return object->complain("type", "unknown operand type \"" + *type + "\"");
        if (std::any_of(rates.begin(), rates.end(), [&](const ComputeRate& rate) { return rate.type == *type; }))
            return object->complain("type", "\"" + *type + "\" appears twice");
        auto rate = readFigure(*object, "rate", Range::Positive);
        if (!rate)
            return tl::unexpected<Error>(rate.error());
        rates.push_back({std::move(*type), std::move(*rate)});
    }
    if (rates.empty())
        return document.complain("compute", "needs at least one rate");
    return rates;
}

}  // namespace

Result<DeviceProfile> DeviceProfile::fromJson(std::string_view text, const std::string& where)
{
    const auto json = parseStrictJson(text, where);
    if (!json)
        return tl::unexpected<Error>(json.error());
    const auto document = StrictObject::of(*json, {}, where,
        {"quantloupe_device", "name", "kind", "memory_bytes", "memory_bandwidth", "bandwidth_efficiency",
            "compute_efficiency", "compute", "energy_per_byte", "energy_per_operation", "idle_power"});
    if (!document)
        return tl::unexpected<Error>(document.error());
    const auto version = document->countOr("quantloupe_device", 0);
    if (!version)
        return tl::unexpected<Error>(version.error());
    if (*version != 1)
        return document->complain("quantloupe_device", "expected version 1");

    DeviceProfile device;
    device.id = std::filesystem::path(where).stem().string();
    for (const auto& [key, target] : {std::pair {"name", &device.name}, {"kind", &device.kind}}) {
        auto value = document->text(key);
        if (!value)
            return tl::unexpected<Error>(value.error());
        *target = std::move(*value);
    }
    if (std::find(kKinds.begin(), kKinds.end(), device.kind) == kKinds.end())
        return document->complain("kind", "expected cpu, gpu or soc");

    struct Member {
        std::string_view key;
        DeviceFigure* target;
        Range range;
    };
    const Member members[] {
        {"memory_bytes", &device.memoryBytes, Range::Positive},
        {"memory_bandwidth", &device.memoryBandwidth, Range::Positive},
        {"bandwidth_efficiency", &device.bandwidthEfficiency, Range::Share},
        {"compute_efficiency", &device.computeEfficiency, Range::Share},
        {"energy_per_byte", &device.energyPerByte, Range::Positive},
        {"energy_per_operation", &device.energyPerOperation, Range::Positive},
        {"idle_power", &device.idlePower, Range::NotNegative},
    };
    for (const auto& member : members) {
        auto figure = readMember(*document, member.key, member.range, where);
        if (!figure)
            return tl::unexpected<Error>(figure.error());
        *member.target = std::move(*figure);
    }
    auto compute = readCompute(*document, where);
    if (!compute)
        return tl::unexpected<Error>(compute.error());
    device.compute = std::move(*compute);
    return device;
}

double DeviceProfile::rateFor(std::string_view type) const
{
    static constexpr std::pair<std::string_view, std::array<std::string_view, 5>> kFallbacks[] {
        {"int4", {"int4", "int8", "fp16", "bf16", "fp32"}},
        {"int8", {"int8", "fp16", "bf16", "fp32", ""}},
        {"fp8", {"fp8", "fp16", "bf16", "fp32", ""}},
        {"fp16", {"fp16", "bf16", "fp32", "", ""}},
        {"bf16", {"bf16", "fp16", "fp32", "", ""}},
        {"fp32", {"fp32", "", "", "", ""}},
    };
    for (const auto& [wanted, chain] : kFallbacks)
        if (wanted == type)
            for (const auto candidate : chain)
                for (const auto& rate : compute)
                    if (rate.type == candidate)
                        return rate.rate.value;
    return 0.0;
}

Result<std::vector<DeviceProfile>> loadDevices(const std::filesystem::path& folder)
{
    std::error_code code;
    std::vector<std::filesystem::path> files;
    for (std::filesystem::directory_iterator entry(folder, code), end; !code && entry != end; entry.increment(code))
        if (entry->path().extension() == ".json")
            files.push_back(entry->path());
    if (code)
        return failure(ErrorCode::CannotOpen, folder.string(), code.message());
    std::sort(files.begin(), files.end());

    std::vector<DeviceProfile> devices;
    for (const auto& path : files) {
        const auto file = MappedFile::open(path);
        if (!file)
            return tl::unexpected<Error>(file.error());
        const auto bytes = (*file)->bytes();
        if (bytes.size() > kMaxFile)
            return failure(ErrorCode::Malformed, path.string(), "a device profile is never above 1 MiB");
        const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        auto device = DeviceProfile::fromJson(text, path.string());
        if (!device)
            return tl::unexpected<Error>(device.error());
        devices.push_back(std::move(*device));
    }
    return devices;
}

}  // namespace quantloupe
