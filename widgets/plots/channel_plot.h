// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/plots/plot.h"

#include <cstdint>
#include <vector>

/// One value per channel.
struct ChannelProfile {
    bool rows = true;     ///< output channels; else input channels (columns)
    QString quantity {};  ///< axis label with unit, e.g. tr("Largest |w|")
    std::vector<float> values {};
    std::vector<std::uint32_t> outliers {};  ///< channels to mark, ascending
    double threshold = 0.0;                  ///< where outliers begin; 0: none drawn
};

/// A strip of values per output or input channel, outlier channels marked.
class ChannelPlot final : public Plot
{
    Q_OBJECT
public:
    explicit ChannelPlot(QWidget* parent = nullptr);

    void setProfile(ChannelProfile profile);
    void clear();
    PlotTable table() const override;

Q_SIGNALS:
    void channelClicked(bool row, int channel);

protected:
    QString hoverText(QPointF position) const override;
    void clicked(QPointF position) override;
    void applyTheme() override;
    void resetView() override;

private:
    int channelAt(QPointF position) const;

    ChannelProfile m_profile;
};
