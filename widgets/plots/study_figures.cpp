// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/study_figures.h"

#include "widgets/theme/plot_theme.h"

#include <QCoreApplication>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

using namespace quantloupe;

namespace figures {

namespace {

QString tr(const char* text)
{
    return QCoreApplication::translate("Figures", text);
}

QString text(const std::string& utf8)
{
    return QString::fromStdString(utf8);
}

int rankOf(TensorRole role)
{
    const auto order = rolesInOrder();
    return static_cast<int>(std::find(order.begin(), order.end(), role) - order.begin());
}

}  // namespace

QString tensorLabel(const CatalogTensor& tensor)
{
    const NameParts& parts = tensor.parts;
    if (parts.role == TensorRole::Other)
        return text(tensor.name);
    QString label = roleText(parts.role);
    if (parts.block)
        label = QString::number(*parts.block) + QStringLiteral(" · ") + label;
    if (parts.expert)
        label += QStringLiteral(" · ") + tr(QT_TRANSLATE_NOOP("Figures", "expert %1")).arg(*parts.expert);
    if (parts.sharedExpert)
        label += QStringLiteral(" · ") + tr(QT_TRANSLATE_NOOP("Figures", "shared"));
    return label;
}

SensitivityMapData sensitivityMap(const StudySnapshot& study, ErrorMetric metric, RowOrder order, const Plan* plan)
{
    SensitivityMapData data;
    data.metric = metric;
    const std::vector<std::string> schemes = study.schemes();
    for (const std::string& scheme : schemes)
        data.schemes << text(scheme);
    std::vector<std::size_t> rows = measuredInDepthOrder(study);
    const auto& tensors = study.model.tensors;
    if (order == RowOrder::Role) {
        std::stable_sort(rows.begin(), rows.end(), [&](std::size_t left, std::size_t right) {
            return rankOf(tensors[left].parts.role) < rankOf(tensors[right].parts.role);
        });
    }
    const auto context = metricContext(study);
    for (const std::size_t index : rows) {
        const CatalogTensor& tensor = tensors[index];
        SensitivityMapData::Row row;
        row.tensor = text(tensor.name);
        row.label = tensorLabel(tensor);
        row.role = tensor.parts.role;
        row.group = order == RowOrder::Role || !tensor.parts.block
            ? roleText(tensor.parts.role)
            : tr(QT_TRANSLATE_NOOP("Figures", "Block %1")).arg(*tensor.parts.block);
        const SchemeMeasurements& measured = study.of(tensor.name);
        for (const std::string& scheme : schemes) {
            const auto found = measured.find(scheme);
            row.values.push_back(found == measured.end() ? std::numeric_limits<double>::quiet_NaN()
                                                         : valueOf(metric, measured, *found->second, context));
        }
        if (plan && index < plan->tensors.size() && plan->tensors[index].scheme) {
            const auto found = std::find(schemes.begin(), schemes.end(), plan->tensors[index].scheme->toString());
            if (found != schemes.end())
                row.chosen = static_cast<int>(found - schemes.begin());
        }
        data.rows.push_back(std::move(row));
    }
    return data;
}

RankingData ranking(const StudySnapshot& study, ErrorMetric metric, const std::string& scheme, std::size_t count)
{
    RankingData data;
    data.metric = metric;
    data.scheme = text(scheme);
    const auto context = metricContext(study);
    for (const std::size_t index : measuredInDepthOrder(study)) {
        const CatalogTensor& tensor = study.model.tensors[index];
        if (const SchemeMeasurement* measurement = study.find(tensor.name, scheme)) {
            const double value = valueOf(metric, study.of(tensor.name), *measurement, context);
            if (!std::isnan(value))
                data.items.push_back({text(tensor.name), tensorLabel(tensor), tensor.parts.role, value});
        }
    }
    std::stable_sort(data.items.begin(), data.items.end(), [&](const auto& left, const auto& right) {
        return higherIsBetter(metric) ? left.value < right.value : left.value > right.value;
    });
    if (data.items.size() > count)
        data.items.resize(count);
    return data;
}

RoleBoxData roleBoxes(const StudySnapshot& study, ErrorMetric metric, const std::string& scheme)
{
    RoleBoxData data;
    data.metric = metric;
    data.scheme = text(scheme);
    const auto context = metricContext(study);
    std::map<int, RoleBoxData::Box> boxes;
    for (const std::size_t index : measuredInDepthOrder(study)) {
        const CatalogTensor& tensor = study.model.tensors[index];
        if (const SchemeMeasurement* measurement = study.find(tensor.name, scheme)) {
            RoleBoxData::Box& box = boxes[rankOf(tensor.parts.role)];
            box.role = tensor.parts.role;
            box.tensors << text(tensor.name);
            box.values.push_back(valueOf(metric, study.of(tensor.name), *measurement, context));
        }
    }
    for (auto& [rank, box] : boxes) {
        box.numbers = fiveNumbers(box.values);
        data.boxes.push_back(std::move(box));
    }
    return data;
}

DepthLinesData depthLines(const StudySnapshot& study, ErrorMetric metric, const std::string& scheme)
{
    DepthLinesData data;
    data.metric = metric;
    data.scheme = text(scheme);
    const auto context = metricContext(study);
    std::map<int, DepthLinesData::Line> lines;
    for (const std::size_t index : measuredInDepthOrder(study)) {
        const CatalogTensor& tensor = study.model.tensors[index];
        const SchemeMeasurement* measurement = study.find(tensor.name, scheme);
        if (!measurement || !tensor.parts.block)
            continue;
        DepthLinesData::Line& line = lines[rankOf(tensor.parts.role)];
        line.role = tensor.parts.role;
        line.points.push_back(
            {*tensor.parts.block, valueOf(metric, study.of(tensor.name), *measurement, context), text(tensor.name)});
    }
    for (auto& [rank, line] : lines)
        data.lines.push_back(std::move(line));
    return data;
}

TradeOffData::Place place(const TradeOffPoint& point)
{
    return {text(point.label), static_cast<double>(point.bytes), point.bitsPerWeight, point.error};
}

TradeOffData tradeOff(const TradeOffPicture& picture)
{
    TradeOffData data;
    data.metric = picture.metric;
    for (const TradeOffPoint& point : picture.uniform)
        data.uniform.push_back(place(point));
    for (const FrontierPoint& point : picture.frontier.points)
        data.frontier.push_back({QString(), static_cast<double>(point.bytes), point.bitsPerWeight, point.error});
    if (picture.current)
        data.current = place(*picture.current);
    return data;
}

MemoryStackData memoryStack(const std::vector<Scenario>& scenarios, const std::vector<DeviceProfile>& limits)
{
    MemoryStackData data;
    for (const Scenario& scenario : scenarios) {
        const Projection& cost = scenario.projection;
        data.bars.push_back({scenario.label, static_cast<double>(cost.weightsBytes),
            static_cast<double>(cost.keyValueBytes), static_cast<double>(cost.activationBytes)});
    }
    for (const DeviceProfile& device : limits)
        data.limits.push_back({text(device.name), device.memoryBytes.value});
    return data;
}

LatencyData latency(const std::vector<Scenario>& scenarios)
{
    LatencyData data;
    for (const Scenario& scenario : scenarios) {
        const Projection& cost = scenario.projection;
        data.entries.push_back(
            {scenario.label, cost.prefillTokensPerSecond, cost.decodeTokensPerSecond, cost.energyPerToken});
    }
    return data;
}

RooflineData roofline(const std::vector<Scenario>& scenarios, const DeviceProfile& device)
{
    RooflineData data;
    data.device = text(device.name);
    data.bandwidth = device.memoryBandwidth.value * device.bandwidthEfficiency.value;
    for (const ComputeRate& compute : device.compute) {
        const double rate = compute.rate.value * device.computeEfficiency.value;
        // Types of one rate share a roof, and its name.
        const auto same = std::find_if(
            data.roofs.begin(), data.roofs.end(), [&](const RooflineData::Roof& roof) { return roof.rate == rate; });
        if (same == data.roofs.end())
            data.roofs.push_back({text(compute.type), rate});
        else
            same->label += QStringLiteral(", ") + text(compute.type);
    }
    for (std::size_t series = 0; series < scenarios.size(); ++series) {
        data.series << scenarios[series].label;
        for (const RooflinePoint& point : scenarios[series].projection.decodeOperations) {
            if (point.bytes > 0.0 && point.seconds > 0.0) {
                data.points.push_back({text(point.name), static_cast<int>(series), point.operations / point.bytes,
                    point.operations / point.seconds, point.seconds, point.memoryBound});
            }
        }
    }
    return data;
}

}  // namespace figures
