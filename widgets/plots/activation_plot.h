// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/calibration/input_profile.h"
#include "widgets/plots/plot.h"

#include <cstddef>
#include <vector>

class PointLabels;

/// What goes into a layer, channel by channel: the largest |x| and the usual size, outlier channels marked and the
/// loudest named, and how large whole tokens get, which is what a scale per token follows.
class ActivationPlot final : public Plot
{
    Q_OBJECT
public:
    enum class Order : bool { ByPosition, LoudestFirst };

    explicit ActivationPlot(QWidget* parent = nullptr);

    void setProfile(quantloupe::InputProfile profile);
    void setOrder(Order order);
    void clear();
    PlotTable table() const override;

    /// Outlier channels that are named, at most.
    static constexpr std::size_t mostNamed = 5;

protected:
    QString hoverText(QPointF position) const override;
    void applyTheme() override;
    void resetView() override;

private:
    void draw();
    void nameOutliers();
    bool isOutlier(std::size_t channel) const;
    int channelAt(QPointF position) const;

    quantloupe::InputProfile m_profile;
    Order m_order = Order::ByPosition;
    std::vector<std::size_t> m_channels;  ///< by place along the axis
    std::vector<std::size_t> m_places;    ///< the other way round
    PointLabels* m_names;
};
