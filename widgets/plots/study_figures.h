// SPDX-License-Identifier: GPL-3.0-or-later
// From snapshots to what plots draw: shared by the pages and the reports, so that both show the same.
#pragma once

#include "core/projection/projection.h"
#include "core/report/trade_off.h"
#include "widgets/plots/depth_lines_plot.h"
#include "widgets/plots/latency_plot.h"
#include "widgets/plots/memory_stack_plot.h"
#include "widgets/plots/ranking_plot.h"
#include "widgets/plots/role_box_plot.h"
#include "widgets/plots/roofline_plot.h"
#include "widgets/plots/sensitivity_map_plot.h"
#include "widgets/plots/trade_off_plot.h"

namespace figures {

enum class RowOrder { Role, Depth };

/// Short and unique enough for an axis: "12 · Down", "3 · Up · expert 5", else the name itself.
QString tensorLabel(const quantloupe::CatalogTensor& tensor);

/// `plan` may be null: no rings then. Columns follow StudySnapshot::schemes().
SensitivityMapData sensitivityMap(const quantloupe::StudySnapshot& study, quantloupe::ErrorMetric metric,
    RowOrder order, const quantloupe::Plan* plan);
/// The `count` worst tensors under `scheme`.
RankingData ranking(const quantloupe::StudySnapshot& study, quantloupe::ErrorMetric metric, const std::string& scheme,
    std::size_t count);
RoleBoxData roleBoxes(
    const quantloupe::StudySnapshot& study, quantloupe::ErrorMetric metric, const std::string& scheme);
DepthLinesData depthLines(
    const quantloupe::StudySnapshot& study, quantloupe::ErrorMetric metric, const std::string& scheme);

TradeOffData tradeOff(const quantloupe::TradeOffPicture& picture);
TradeOffData::Place place(const quantloupe::TradeOffPoint& point);

/// Everything projected about one plan.
struct Scenario {
    QString label;
    quantloupe::Projection projection;
};
MemoryStackData memoryStack(
    const std::vector<Scenario>& scenarios, const std::vector<quantloupe::DeviceProfile>& limits);
LatencyData latency(const std::vector<Scenario>& scenarios);
RooflineData roofline(const std::vector<Scenario>& scenarios, const quantloupe::DeviceProfile& device);

}  // namespace figures
