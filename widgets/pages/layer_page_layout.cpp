// SPDX-License-Identifier: GPL-3.0-or-later
// How the Layer page is laid out; what it shows and when is in layer_page.cpp.
#include "widgets/pages/layer_page.h"

#include "widgets/docks/scheme_editor.h"
#include "widgets/pages/elided_label.h"
#include "widgets/pages/metrics_table.h"
#include "widgets/pages/section.h"
#include "widgets/pages/why_panel.h"
#include "widgets/plots/activation_plot.h"
#include "widgets/plots/channel_plot.h"
#include "widgets/plots/error_histogram_plot.h"
#include "widgets/plots/histogram_plot.h"
#include "widgets/plots/occupancy_plot.h"
#include "widgets/plots/small_multiples_plot.h"
#include "widgets/plots/survival_plot.h"
#include "widgets/plots/weight_map_plot.h"
#include "widgets/theme/fonts.h"
#include "widgets/theme/icons.h"

#include <QCheckBox>
#include <QComboBox>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QScrollArea>
#include <QStackedWidget>

using quantloupe::MapQuantity;

namespace {

QComboBox* choice(const QString& name, const QString& explanation)
{
    auto* combo = new QComboBox;
    combo->setAccessibleName(name);
    combo->setToolTip(explanation);
    combo->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    return combo;
}

Section* sectionOf(Plot* plot, const QList<QWidget*>& controls = {})
{
    return new Section(plot->title(), plot->accessibleDescription(), plot, controls);
}

}  // namespace

void LayerPage::makeLayout()
{
    auto* page = new QWidget;
    auto* column = new QVBoxLayout(page);
    column->setContentsMargins({});
    column->setSpacing(0);
    column->addWidget(makeHeader());
    column->addWidget(makeBody(), 1);
    m_stack->addWidget(
        emptyState(tr("Select a layer: in the Model dock, on a plot, or among the findings of the Overview page.")));
    m_stack->addWidget(page);
}

QWidget* LayerPage::makeHeader()
{
    m_name = new ElidedLabel;
    m_name->setFont(scaledFont(font(), 1.2, true));
    m_name->setTextFormat(Qt::PlainText);
    m_facts = new ElidedLabel;
    m_facts->setForegroundRole(QPalette::PlaceholderText);
    m_facts->setFont(tabularFont(font()));
    m_status = new ElidedLabel;
    m_status->setForegroundRole(QPalette::PlaceholderText);
    m_status->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    m_status->hide();

    m_editor = new SchemeEditor;
    m_keep = new QCheckBox(tr("&Keep as stored"));
    m_keep->setToolTip(tr("Leaves this tensor out of quantization."));
    m_pin = new QPushButton(themeIcon(QStringLiteral("pin")), tr("&Pin"));
    m_pin->setToolTip(tr("Keeps this scheme's curves for comparison, up to four of them."));
    m_pin->setEnabled(false);
    m_pins = new QWidget;
    m_pinLine = new QHBoxLayout(m_pins);
    m_pinLine->setContentsMargins({});
    m_pinLine->setSpacing(4);
    m_pins->hide();

    auto* controls = new QHBoxLayout;
    controls->setSpacing(8);
    controls->addWidget(m_editor);
    controls->addWidget(m_keep);
    controls->addWidget(m_pin);
    controls->addStretch();
    auto* facts = new QHBoxLayout;
    facts->setSpacing(8);
    facts->addWidget(m_facts, 2);
    facts->addWidget(m_status, 1);

    auto* header = new QWidget;
    auto* column = new QVBoxLayout(header);
    column->setContentsMargins(12, 10, 12, 8);
    column->setSpacing(5);
    column->addWidget(m_name);
    column->addLayout(facts);
    column->addLayout(controls);
    column->addWidget(m_pins);
    return header;
}

QWidget* LayerPage::makeBody()
{
    m_histogram = new HistogramPlot;
    m_errors = new ErrorHistogramPlot;
    m_map = new WeightMapPlot;
    m_metrics = new MetricsTable;
    m_panels = new SmallMultiplesPlot;
    m_survival = new SurvivalPlot;
    m_channels = new ChannelPlot;
    m_occupancy = new OccupancyPlot;
    m_inputs = new ActivationPlot;

    m_mapQuantity = choice(tr("Quantity of the map"), tr("What the colours of the map stand for."));
    m_mapQuantity->addItem(tr("Weights"), static_cast<int>(MapQuantity::Weights));
    m_mapQuantity->addItem(tr("Error"), static_cast<int>(MapQuantity::Error));
    m_mapQuantity->addItem(tr("|Error|"), static_cast<int>(MapQuantity::AbsError));
    m_mapQuantity->addItem(tr("Codes"), static_cast<int>(MapQuantity::Codes));
    m_mapNote = new QLabel;
    m_mapNote->setForegroundRole(QPalette::PlaceholderText);
    m_channelSide = choice(tr("Channels"), tr("Along which side of the matrix."));
    m_channelSide->addItems({tr("Input"), tr("Output")});
    m_channelQuantity = choice(tr("Quantity per channel"), tr("What is shown per channel."));
    m_channelQuantity->addItems({tr("Largest |w|"), tr("RMS error")});

    m_inputsNote = new ElidedLabel;
    m_inputsNote->setForegroundRole(QPalette::PlaceholderText);
    m_inputsNote->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    m_inputOrder = choice(tr("Order of the channels"), tr("Where outliers lie, or how they stand out."));
    m_inputOrder->addItems({tr("By position"), tr("Loudest first")});

    const int line = fontMetrics().lineSpacing();
    for (Plot* plot :
        std::initializer_list<Plot*> {m_histogram, m_errors, m_survival, m_channels, m_inputs, m_occupancy})
        plot->setMinimumHeight(line * 15);
    m_map->setMinimumHeight(line * 18);
    m_panels->setFixedHeight(line * 9);

    auto* content = new QWidget;
    auto* grid = new QGridLayout(content);
    grid->setContentsMargins(12, 4, 12, 12);
    grid->setHorizontalSpacing(14);
    grid->setVerticalSpacing(14);
    grid->setColumnStretch(0, 1);
    grid->setColumnStretch(1, 1);
    grid->addWidget(sectionOf(m_histogram), 0, 0);
    grid->addWidget(sectionOf(m_errors), 0, 1);
    grid->addWidget(sectionOf(m_map, {m_mapNote, m_mapQuantity}), 1, 0);
    grid->addWidget(
        new Section(tr("Figures"), tr("What the scheme does to this tensor; each row explains itself when pointed at."),
            m_metrics),
        1, 1);
    grid->addWidget(sectionOf(m_panels), 2, 0, 1, 2);
    grid->addWidget(new Section(tr("Why, and what helps"),
                        tr("Where the error of the tensor comes from, and what other schemes give when tried on it."),
                        new WhyPanel(m_workbench, m_inspector)),
        3, 0, 1, 2);
    grid->addWidget(sectionOf(m_survival), 4, 0);
    grid->addWidget(sectionOf(m_channels, {m_channelSide, m_channelQuantity}), 4, 1);
    grid->addWidget(sectionOf(m_inputs, {m_inputsNote, m_inputOrder}), 5, 0, 1, 2);
    grid->addWidget(sectionOf(m_occupancy), 6, 0, 1, 2);

    auto* scroll = new QScrollArea;
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setWidget(content);
    connect(m_channels, &ChannelPlot::channelClicked, scroll, [this, scroll](bool row, int channel) {
        m_map->showChannel(row, channel);
        scroll->ensureWidgetVisible(m_map);
    });
    return scroll;
}
