// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QList>
#include <QWidget>

class QLabel;

/// A titled part of a page: heading, small controls at its right, content below. What it means is in its tooltip.
class Section final : public QWidget
{
    Q_OBJECT
public:
    Section(const QString& title, const QString& explanation, QWidget* content, const QList<QWidget*>& controls = {},
        QWidget* parent = nullptr);

    void setTitle(const QString& title);

protected:
    void changeEvent(QEvent* event) override;

private:
    void styleHeading();

    QLabel* m_heading;
};

/// Centred muted text for a page that has nothing to show.
QWidget* emptyState(const QString& text, QWidget* parent = nullptr);
